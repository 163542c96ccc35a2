"""An object cut out of its picture: masks, their soft edges, and what tells object from background."""
