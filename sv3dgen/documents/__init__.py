"""Documents that anybody may have written, JSON and YAML: plain values, or one error for all that is wrong."""
