"""The features of a row, one provider a file; `registry.py` lists them."""
