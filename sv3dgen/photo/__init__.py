"""One photo: the object cut out, centered and scaled for a view model."""
