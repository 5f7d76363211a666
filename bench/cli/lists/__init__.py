"""The commands that list what there is, and import no more than that takes."""
