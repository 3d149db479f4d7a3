"""Training on several machines; imported by runs that ask for it alone."""
