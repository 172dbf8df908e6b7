"""How well does a polynomial stand for 1/√y, which homomorphic encryption does not have?"""

from fhe_face.coeffs.fit import fit


def main() -> None:
    for degree in (1, 2, 3, 4):
        fitted = fit("minimax", (100.0, 3000.0), degree)
        print(f"degree {degree}: relative error at most {100 * fitted.worst_relative_error:.1f} %")


if __name__ == "__main__":
    main()
