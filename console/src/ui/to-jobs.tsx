import { Link } from "wouter";

/** The way out of an address at which there is nothing. */
export function ToJobs() {
  return <Link href="/">To all jobs</Link>;
}
