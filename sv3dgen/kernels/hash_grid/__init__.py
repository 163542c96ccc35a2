"""Multi-resolution hash encoding: the call with its torch reference, and its versions."""
