"""The server's REST API."""
