/** To come. */
export default function View() {
  return <h1>quotas</h1>;
}
