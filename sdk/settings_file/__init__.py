"""Files of settings: YAML that cannot surprise, sections with checked keys, and one line about what is wrong where."""

from allweather.settings_file.section import Section, Text
from allweather.settings_file.validation import validation_error
from allweather.settings_file.yaml_file import read_yaml

__all__ = ["Section", "Text", "read_yaml", "validation_error"]
