"""
Hyperparameter optimisation by a language model and the Tree-structured Parzen Estimator together.
"""
