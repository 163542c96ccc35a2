"""The surface of a signed distance on tetrahedra: the call with its torch reference, and its versions."""
