"""The page of a run or a sweep: one HTML file, without a server and without the network, made of what lies there."""
