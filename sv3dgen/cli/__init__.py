"""What stands on a command line: settings, their checks, and how a run goes on."""
