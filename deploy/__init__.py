"""
The composition root: the command line (`commands`), which imports anything and which nobody imports; the
`local` stack, which load tests start too; images, set-up, the one origin that serves everything; what
`imports` makes of files; and verify_export, which shares nothing with all this.
"""
