"""Pages for people: self-contained HTML, and the figures in it."""
