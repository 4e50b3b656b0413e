"""
The composition root: the command line (commands), which imports anything and which nobody imports; the local
stack (local), which load tests start too; images; and verify_export, which shares nothing with all this.
"""
