"""What `allweather run` runs: a bundle on cameras, each with its sinks, from options or from a configuration file."""

from allweather.site.config import SiteConfig
from allweather.site.read import read_site
from allweather.site.site import Site, SiteCamera

__all__ = ["Site", "SiteCamera", "SiteConfig", "read_site"]
