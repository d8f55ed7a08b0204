"""The model alone: data, network, training, evaluation and inference, without queue, site or database."""
