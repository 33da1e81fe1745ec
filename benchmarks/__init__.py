"""Figures as ratios: ours and a peer take turns in one run, on one machine."""
