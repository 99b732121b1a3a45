"""Learns an augmentation through influence functions (Lee et al., CVPR 2020)."""
