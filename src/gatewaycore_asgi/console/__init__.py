"""The console: the dashboard and the API."""
