"""The paper's ablations: the runs of a sweep, their scores, and the table of both."""
