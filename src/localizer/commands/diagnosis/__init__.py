"""The checks of `localizer doctor`. They run no stage and ask no server."""
