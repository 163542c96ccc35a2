"""From a surface to files: clean, decimate, unwrap, bake, write."""
