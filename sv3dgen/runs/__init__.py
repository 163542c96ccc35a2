"""What a run leaves behind: folder, record, logs, report, and the runs of a sweep."""
