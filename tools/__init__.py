"""What people and make call: the `vafa` command, firmware compilation, generators, and the tools they need.

Tools stand at the top: they may use every other package, and no other package ever imports them.
"""
