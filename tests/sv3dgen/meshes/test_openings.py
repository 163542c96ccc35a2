"""What is told of an opening."""

from sv3dgen.meshes.openings import Opening, told


def test_what_is_told_says_what_is_a_guess():
    hollow = Opening(0.8, True, "pixels", 0.03, 0.05, 0.02)
    assert told(hollow) == (
        "opening over 80% of the object: hollow, held-back pixels say so (error as it is 0.050, hollow 0.020); "
        "walls of 0.03 and a floor of 0.045, where no view sees them, are guesses"
    )
    assert "a guess" in told(Opening(0.1, False, "prior"))
    assert Opening(**hollow.card()) == hollow
    assert Opening(0.1, False, "prior").card() == {"plan_share": 0.1, "hollow": False, "decided_by": "prior"}
