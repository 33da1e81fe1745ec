"""The proof that fs-verity does what we build on it, on a kernel that has it.

`python -m tests.verity --rounds 30` boots Debian's cloud kernel in an emulated machine, whose only
process is ours, and plays each attack there (`guest`). Nothing of it needs root or KVM.
"""
