"""The one exception for data that a person has to repair."""


class DataError(Exception):
    """A data set, image or annotation file is missing or broken; the message names it and says what to do."""
