"""A functional network whose file names the package that its layers come from."""

from __future__ import annotations

from tensorflow import keras


@keras.saving.register_keras_serializable("facetfx")
class TrainedNetwork(keras.Model):
    """A functional network to be written as .keras.

    Keras imports the module of the outermost class and not those of layers, of which it says that a 'str' object is not
    callable: this class brings `keras_models` along, and where that isn't installed the error names it.

    Call: as of the network that it is made of, whose layers it shares.
    """

    @classmethod
    def of(cls, network: keras.Model) -> TrainedNetwork:
        """The network as one of this class."""
        return cls(network.input, network.output, name=network.name)


# Of HDF5 files Keras looks for the class without its package.
keras.saving.get_custom_objects()[TrainedNetwork.__name__] = TrainedNetwork
