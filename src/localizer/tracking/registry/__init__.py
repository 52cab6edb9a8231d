"""The registered model `localizer`, and the logged models that may become its champion."""
