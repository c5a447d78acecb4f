//! What only a server can be: shared, lost, in the way.
