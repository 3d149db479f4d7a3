"""The embedded server: TensorFlow Serving's protocol and answers, for development and tests."""
