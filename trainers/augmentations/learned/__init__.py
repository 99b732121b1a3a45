"""The augmentation network learned through influence functions (Lee et al., CVPR 2020)."""
