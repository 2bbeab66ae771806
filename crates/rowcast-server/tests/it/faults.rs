//! What goes wrong, one thing at a time, and what the server says to it.
