"""The local app: a page on which one drops a photo, a film or a folder, and gets a mesh. Needs the extra `app`."""
