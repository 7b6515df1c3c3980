import { afterEach, expect, test, vi } from "vitest";
import { FailedLogins } from "../../src/rates/failed-logins.ts";

/** How many refused credentials an address may send (section 11). */

afterEach(() => {
  vi.useRealTimers();
});

function failTimes(failures: FailedLogins, address: string, times: number) {
  for (let time = 0; time < times; time += 1) failures.failed(address);
}

test("an address is blocked with its last allowed failure, for the rest of the minute", () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const failures = new FailedLogins(3);
  failTimes(failures, "203.0.113.7", 2);
  expect(failures.blockedMs("203.0.113.7")).toBe(0);
  vi.advanceTimersByTime(10_000);
  failures.failed("203.0.113.7");
  expect(failures.blockedMs("203.0.113.7")).toBe(50_000);
  vi.advanceTimersByTime(49_999);
  expect(failures.blockedMs("203.0.113.7")).toBe(1);
  vi.advanceTimersByTime(1);
  expect(failures.blockedMs("203.0.113.7")).toBe(0);
  failTimes(failures, "203.0.113.7", 2);
  expect(failures.blockedMs("203.0.113.7")).toBe(0);
});

test("other IPv4 addresses are not, and of IPv6 the whole /64 is", () => {
  const failures = new FailedLogins(2);
  failTimes(failures, "203.0.113.7", 2);
  failures.failed("2001:db8:0:1::1");
  failures.failed("2001:db8:0:1:ffff::2");
  const isBlocked = (address: string) => failures.blockedMs(address) > 0;
  expect(["203.0.113.7", "2001:db8:0:1::3"].map(isBlocked)).toEqual([true, true]);
  expect(["203.0.113.8", "2001:db8:0:2::1"].map(isBlocked)).toEqual([false, false]);
});

test("of too many networks the one that failed the longest ago is forgotten", () => {
  const failures = new FailedLogins(1, 2);
  for (const address of ["10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3"]) failures.failed(address);
  const isBlocked = (address: string) => failures.blockedMs(address) > 0;
  expect(["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(isBlocked)).toEqual([true, false, true]);
});
