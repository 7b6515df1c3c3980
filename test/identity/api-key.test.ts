import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashOfSecret, isApiKeySecret, newApiKeySecret, storedSecretOf } from "../../src/identity/api-key.ts";

/** The form of an API key's secret (section 11). */

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The number that base62 digits stand for. */
function numberOf(digits: string): bigint {
  return Array.from(digits).reduce((number, digit) => number * 62n + BigInt(ALPHABET.indexOf(digit)), 0n);
}

describe("a new secret", () => {
  test("is ajs_, 43 characters of 256 bits and 6 of their checksum", () => {
    for (let at = 0; at < 200; at++) {
      const secret = newApiKeySecret();
      expect(secret).toMatch(/^ajs_[0-9A-Za-z]{49}$/);
      expect(numberOf(secret.slice(4, 47)) < 2n ** 256n).toBe(true);
      expect(numberOf(secret.slice(47))).toBe(BigInt(crc32(secret.slice(0, 47))));
      expect(isApiKeySecret(secret)).toBe(true);
    }
  });

  test("uses the whole range, and is never the same", () => {
    const secrets = Array.from({ length: 500 }, newApiKeySecret);
    expect(new Set(secrets).size).toBe(500);
    const highest = secrets.filter((secret) => numberOf(secret.slice(4, 47)) >= 2n ** 255n).length;
    // Half of them, but for what 500 throws of a coin may do.
    expect(highest).toBeGreaterThan(180);
    expect(highest).toBeLessThan(320);
  });
});

describe("what is no secret of this server is told by itself", () => {
  const secret = newApiKeySecret();

  test.each([
    ["nothing", ""],
    ["another prefix", secret.replace("ajs_", "sk_x")],
    ["one character less", secret.slice(0, -1)],
    ["one character more", `${secret}0`],
    ["a space behind it", `${secret} `],
    ["a line break behind it", `${secret}\n`],
    ["a letter of another alphabet", secret.replace(/.{10}$/, "é123456789")],
  ])("%s", (_, text) => {
    expect(isApiKeySecret(text)).toBe(false);
  });

  test("a typing error anywhere", () => {
    const place = fc.integer({ min: 4, max: secret.length - 1 });
    fc.assert(
      fc.property(place, fc.constantFrom(...Array.from(ALPHABET)), (at, letter) => {
        const mistyped = `${secret.slice(0, at)}${letter}${secret.slice(at + 1)}`;
        expect(isApiKeySecret(mistyped)).toBe(mistyped === secret);
      }),
    );
  });
});

test("what is kept shows 12 of its characters, and its hash", () => {
  const secret = newApiKeySecret();
  expect(storedSecretOf(secret)).toEqual({
    hash: hashOfSecret(secret),
    prefix: secret.slice(0, 8),
    lastFour: secret.slice(-4),
  });
  expect(hashOfSecret(secret)).toHaveLength(32);
  expect(hashOfSecret(secret).equals(hashOfSecret(newApiKeySecret()))).toBe(false);
});
