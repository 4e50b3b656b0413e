"""
Claims, disputes and resolutions: a candidate says that a result is wrong, and somebody who had no hand in it
decides (spec.md M-2). That a reviewer is at work on a session is another thing: `core_api.reviews.claims`.
"""
