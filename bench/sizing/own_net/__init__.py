"""A net of one's own under backpropagation: ``fit --model module:make_net``."""
