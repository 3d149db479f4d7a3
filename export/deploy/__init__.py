"""Files that TensorFlow Serving needs beside an export."""
