"""How a traced 2-D torch model becomes a 1-D one: one subject in each file, :mod:`xconv_torch.convert` calls them."""
