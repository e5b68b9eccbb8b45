"""What `make` runs before anything is installed (standard library only), and the supervisor of `manage.py serve`."""
