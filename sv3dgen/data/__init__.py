"""From posed views to training batches."""
