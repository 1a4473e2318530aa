"""The cache keeper: warms a shared cache before traffic, and tells whether invalidations arrive and how often it is hit."""
