"""The network, its head and its loss; nothing here knows of files, configuration or tracking."""
