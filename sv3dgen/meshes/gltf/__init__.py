"""glTF read as viewers show it: accessors, nodes, primitives and materials."""
