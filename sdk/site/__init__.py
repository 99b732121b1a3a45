"""What `allweather run` runs: a bundle on cameras, each with its sinks, from options or from a configuration file.

`config` and `read`, the configuration file, are not imported here, as the command line needs neither to start.
"""

from allweather.site.site import Site, SiteCamera

__all__ = ["Site", "SiteCamera"]
