"""The models that MGOE is compared with, one a file."""
