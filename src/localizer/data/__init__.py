"""From a folder of images and an annotation file to tables that can be trusted."""
