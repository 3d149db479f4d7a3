"""What computes the stages of preparation."""
