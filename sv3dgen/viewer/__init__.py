"""To see the object while a run is at work, and after it: the live view (extra `view`), and pictures for the app."""
