"""Training CryptoFaceNet: from labelled photos, or from a teacher on generated faces.

Everything here needs torch; aligning photos and the teacher need OpenCV too. Nothing here is
needed to use the weights.
"""
